// The page: it sends the user's requests to the worker, and shows what comes back.

const $ = (id) => document.getElementById(id);
const controls = ["write", "again", "surprise", "one"].map($);
const numbers = new Intl.NumberFormat("en");
let about = null; // the model's description
let worker = null;
let isWriting = false;
let isUntouched = true; // whether the text shown is the one that the settings determine
let text = null; // the text that is shown: {number, given, whole, ended, …}
let heard = null; // the last message about this text, if it is not shown yet
let timer = 0; // of `looked`, which waits until the user stops typing
let restUntil = 0; // earliest time to show more, so that very long texts leave time for the user

// -- settings

function settings() {
  const how = {
    ...about.sampling,
    temperature: Number($("temperature").value),
    top_p: Number($("top-p").value),
    max_length: Math.max(1, Math.floor(Number($("longest").value)) || about.sampling.max_length),
  };
  how.min_length = Math.min(how.min_length, how.max_length);
  const pace = document.querySelector("input[name=pace]:checked").value;
  const texts = Math.max(1, Math.floor(Number($("texts").value)) || 1);
  return { seed: whole("seed"), number: whole("number"), prefix: beginning(), texts, pace, how };
}

/** Return the digits in a field; an empty or wrong field counts as 0. */
function whole(id) {
  const { value } = $(id);
  return /^\d{1,18}$/.test(value) ? value : "0";
}

/** Return the beginning with the values of the attributes before it. */
function beginning() {
  const values = [...document.querySelectorAll("#attributes input")].map((field) =>
    field.value.trim().split(/\s+/).join(" "));
  let given = values.findIndex((value) => !value);
  if (given < 0) given = values.length;
  $("prefix").disabled = given < values.length;
  $("prefix").placeholder = $("prefix").disabled
    ? "the model writes the empty fields and the text" : "type a beginning, or leave it empty";
  const header = values.slice(0, given).map((value) => `${value}\t`).join("");
  return about.header + header + ($("prefix").disabled ? "" : $("prefix").value);
}

function showSettings() {
  $("temperature-is").value = Number($("temperature").value).toFixed(2);
  $("top-p-is").value = Number($("top-p").value).toFixed(2);
}

// -- actions

function send(kind, more = {}) {
  worker.postMessage({ kind, ...more });
}

function write() {
  if (!about) return;
  clear();
  setWriting(true);
  say("");
  send("write", { settings: settings() });
}

function clear() {
  clearTimeout(timer);
  $("written").replaceChildren();
  text = heard = null;
  isUntouched = true;
}

/** Continue the text that is shown. */
function goOn() {
  if (text.ended === "cut") {
    $("longest").value = text.drawn + about.sampling.max_length;
    isUntouched &&= !about.constrained;
  }
  setWriting(true);
  say("");
  send("goOn", { settings: settings() });
}

function stop() {
  setWriting(false);
  send("stop");
}

/** Show what may come after the beginning. */
function look() {
  clear();
  send("look", { settings: settings() });
}

function surprise() {
  const random = crypto.getRandomValues(new Uint32Array(1))[0];
  $("seed").value = String(random);
  $("number").value = "0";
  write();
}

function setWriting(now) {
  isWriting = now;
  document.body.classList.toggle("writing", now);
  nameWrite();
}

/** Name the first button after what it would do. */
function nameWrite() {
  const canGoOn = !isWriting && text && text.drawn > 0 && text.ended !== "complete";
  $("write").textContent = isWriting ? "Stop" : canGoOn ? "Go on" : "Write";
  $("again").hidden = !canGoOn;
  $("one").disabled = !about || Boolean(text?.ended);
}

// -- what the worker says

const answers = {
  ready({ description, ms }) {
    about = description;
    setUp(ms);
  },
  text(message) {
    if (message.isFirst && text?.ended && !text.isKept) keep(text);
    const isMore = text && message.isAppended && !message.isFirst;
    const whole = isMore ? text.whole + message.added : message.added;
    text = { ...message, whole, isKept: !message.isFirst && text?.isKept };
    if (text.ended && about.form === "color" && !text.isKept) keep(text);
    if (!heard) setTimeout(requestAnimationFrame, restUntil - performance.now(), show);
    heard = message;
  },
  done() {
    setWriting(false);
    if (heard) show();
    say(ending());
  },
  failed({ message }) {
    setWriting(false);
    say(message, true);
  },
};

function ending() {
  if (!text?.drawn) return "";
  const count = Number(BigInt(text.number) - BigInt(whole("number"))) + 1;
  if (count > 1 && text.ended) return `${numbers.format(count)} texts.`;
  const tokens = `${numbers.format(text.drawn)} token${text.drawn === 1 ? "" : "s"}`;
  if (text.ended === "complete") return `The text ended after ${tokens}.`;
  return text.ended ? `Cut after ${tokens}, the most that the settings allow.` : `Stopped after ${tokens}.`;
}

function say(words, isError = false) {
  $("status").textContent = words;
  $("status").classList.toggle("error", isError);
}

// -- showing a text

function show() {
  if (!heard) return;
  heard = null;
  const began = performance.now();
  const wasInView = $("next").getBoundingClientRect().bottom < innerHeight + 60;
  const { values, given, drawn } = split(text);
  $("values").replaceChildren(...labels(values));
  setText($("given"), given);
  setText($("drawn"), drawn);
  $("now").classList.toggle("ended", text.ended !== "");
  $("now").hidden = $("values").hidden = Boolean(text.isKept);
  showBars(text.next);
  if (text.speed) $("characters").textContent = numbers.format(rounded(text.speed));
  showSame();
  nameWrite();
  $("next").style.setProperty("--at", `${$("caret").offsetLeft - $("next").offsetLeft}px`);
  const { bottom } = $("next").getBoundingClientRect();
  if (isWriting && wasInView && bottom > innerHeight) scrollBy(0, bottom - innerHeight + 16);
  restUntil = 3 * performance.now() - 2 * began;
}

/** Split a text into the values of its attributes, what was given, and what was drawn. */
function split({ given, whole }) {
  const all = whole.length < given.length ? given : whole;
  const values = all.split("\t").slice(0, -1).slice(0, about.attributes.length);
  const start = values.reduce((sum, value) => sum + value.length + 1, 0);
  const end = Math.max(start, given.length);
  return { values, given: all.slice(start, end), drawn: all.slice(end) };
}

/** Return the values of attributes as elements, each with its own direction of writing. */
function labels(values) {
  return values.map((value, place) => {
    const label = document.createElement("bdi");
    label.textContent = `${about.attributes[place]}: ${value || "–"}`;
    return label;
  });
}

function setText(element, words) {
  const node = element.firstChild ?? element.appendChild(document.createTextNode(""));
  if (words.startsWith(node.data)) node.appendData(words.slice(node.data.length));
  else node.data = words;
}

/** Move a finished text above the current one. */
function keep(done) {
  done.isKept = true;
  if (about.form === "color") {
    const line = done.whole.split("\t").at(-1);
    $("written").append(swatch(parseColor(line) ?? { name: line, hex: "" }));
    return;
  }
  const { values, given, drawn } = split(done);
  const above = document.createElement("p");
  above.className = "values";
  above.append(...labels(values));
  const element = document.createElement("p");
  element.className = "text";
  element.dir = "auto";
  const beginning = document.createElement("span");
  beginning.className = "given";
  beginning.textContent = given;
  element.append(beginning, drawn);
  $("written").append(above, element);
}

function swatch({ name, hex }) {
  const tile = document.createElement("figure");
  const patch = document.createElement("i");
  patch.style.background = hex;
  tile.classList.toggle("invalid", !hex);
  const caption = document.createElement("figcaption");
  const title = document.createElement("b");
  title.textContent = name;
  title.dir = "auto";
  const code = document.createElement("small");
  code.textContent = hex || "not a colour";
  caption.append(title, code);
  tile.append(patch, caption);
  return tile;
}

// -- the bars

function showBars(next) {
  const list = document.querySelector("#next ol");
  while (list.children.length < next.length) list.append(emptyBar());
  const most = next[0]?.share || 1;
  [...list.children].forEach((row, place) => {
    const one = next[place];
    row.hidden = !one;
    if (!one) return;
    const button = row.firstChild;
    const [label, bar, share] = button.children;
    button.dataset.token = one.token;
    label.replaceChildren(...labelOf(one.label));
    bar.firstChild.style.transform = `scaleX(${Math.max(0.004, one.share / most)})`;
    share.textContent = percent(one.share);
  });
  $("next").hidden = !next.length;
}

function emptyBar() {
  const row = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  const [label, bar, share] = ["bdi", "span", "span"].map((name) => document.createElement(name));
  bar.append(document.createElement("i"));
  share.className = "share";
  button.append(label, bar, share);
  button.addEventListener("click", () => choose(Number(button.dataset.token)));
  row.append(button);
  return row;
}

/** Show spaces, tabs and line ends in a token as signs. */
function labelOf(label) {
  const shown = label === null ? "end" : label;
  if (label === null || label === "") return [sign(label === null ? "end of text" : "nothing")];
  const parts = shown.split(/([ \n\t])/).filter(Boolean);
  const signs = { " ": "␣", "\n": "↵", "\t": "⇥" };
  return parts.map((part) => (signs[part] ? sign(signs[part]) : part));
}

function sign(words) {
  const element = document.createElement("em");
  element.textContent = words;
  return element;
}

function percent(share) {
  return share >= 0.0995 ? `${Math.round(100 * share)}%` : `${(100 * share).toFixed(1)}%`;
}

function rounded(value) {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1);
  return Math.round(value / unit) * unit;
}

function choose(token) {
  setWriting(false);
  isUntouched = false;
  say("");
  send("take", { token });
}

// -- the command that writes the same text

function showSame() {
  const { seed, prefix, how } = settings();
  $("same").hidden = !about.reference || !isUntouched || !text?.drawn || prefix.normalize("NFC") !== text.given;
  const words = ["rnnlm", "generate", about.reference, "--count", String(Number(text.number) + 1),
    "--seed", seed, "--temperature", String(how.temperature), "--top-p", String(how.top_p),
    "--max-length", String(how.max_length), "--precision", "int8"];
  if ($("prefix").value && !$("prefix").disabled) words.push("--prefix", $("prefix").value);
  const values = [...document.querySelectorAll("#attributes input")];
  for (const field of values) if (field.value) words.push("--given", `${field.name}=${field.value}`);
  $("same").querySelector("code").textContent = words.map(quoted).join(" ");
}

function quoted(word) {
  return /^[\w./@=-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

// -- starting

function setUp(ms) {
  const { sampling } = about;
  $("temperature").value = sampling.temperature;
  $("top-p").value = sampling.top_p;
  $("seed").value = about.seed;
  $("number").value = "0";
  $("texts").value = about.texts;
  $("longest").value = sampling.max_length;
  $("prefix").value = about.prefix;
  for (const name of about.missing) $("attributes").append(attribute(name));
  for (const [name, value] of about.facts) {
    const [term, words] = ["dt", "dd"].map((tag) => document.createElement(tag));
    term.textContent = name;
    words.textContent = value;
    words.dir = "auto";
    $("facts").append(term, words);
  }
  $("loaded").textContent = `model unpacked in ${(ms / 1000).toFixed(2)} s`;
  document.body.dataset.form = about.form;
  for (const control of controls) control.disabled = false;
  fit();
  showSettings();
  say("");
  look();
  document.body.dataset.ready = "yes";
}

function attribute(name) {
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.name = name;
  field.dir = "auto";
  field.addEventListener("input", looked);
  label.append(`${name} `, field);
  return label;
}

/** Make the field for the beginning as high as its text. */
function fit() {
  $("prefix").style.height = "auto";
  $("prefix").style.height = `${$("prefix").scrollHeight}px`;
}

/** Call `look` when the user stops typing. */
function looked() {
  fit();
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (isWriting) stop();
    say("");
    look();
  }, 120);
}

/** Apply a changed setting from the next token on. */
function changed() {
  showSettings();
  if (text?.drawn) isUntouched = false;
  sendChange();
}

function sendChange() {
  if (about) send("change", { settings: (({ how, pace }) => ({ how, pace }))(settings()) });
}

function listen() {
  $("write").addEventListener("click", () =>
    isWriting ? stop() : $("write").textContent === "Go on" ? goOn() : write());
  $("again").addEventListener("click", write);
  $("surprise").addEventListener("click", surprise);
  $("one").addEventListener("click", () => {
    setWriting(false);
    say("");
    send("take");
  });
  $("opening").addEventListener("submit", (event) => event.preventDefault());
  $("prefix").addEventListener("input", looked);
  for (const id of ["seed", "number", "longest"]) $(id).addEventListener("input", looked);
  for (const id of ["temperature", "top-p"]) $(id).addEventListener("input", changed);
  for (const radio of document.querySelectorAll("input[name=pace]"))
    radio.addEventListener("change", sendChange);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isWriting) stop();
    const isField = event.target.matches?.("textarea, #attributes input");
    if (event.key !== "Enter" || event.isComposing || !about) return;
    if (event.ctrlKey || event.metaKey || (isField && !event.shiftKey)) {
      event.preventDefault();
      write();
    }
  });
  $("theme").addEventListener("click", () => {
    const { dataset } = document.documentElement;
    const isDark = dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches && "dark");
    dataset.theme = isDark === "dark" ? "light" : "dark";
  });
}

function start() {
  if (matchMedia("(max-width: 56rem)").matches) $("settings").open = false;
  listen();
  if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function") {
    say("This browser is too old for this page, which needs one from 2023 or later.", true);
    return;
  }
  worker = new Worker(URL.createObjectURL(new Blob([$("worker").textContent])));
  worker.addEventListener("message", ({ data }) => answers[data.kind](data));
  worker.addEventListener("error", (event) => say(`The model could not start: ${event.message}`, true));
  send("open", { bytes: $("model").textContent, wasm: $("engine").textContent });
  for (const id of ["model", "engine", "worker"]) $(id).remove();
}

start();
