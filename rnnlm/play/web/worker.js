// The worker writes texts in short slices, so that messages from the page reach it in between.

const SLICE_MS = 12;
const BARS = 12;
const PAUSES_MS = { slow: 300, watch: 0 };
const FRAME_MS = 16;

let model = null;
let writer = null;
let job = null; // the run in progress; a message that starts or stops a run replaces it
let settings = null;
let meter = null;
let lastEnd = 0n; // the number after the last text of the run

const nextTurn = new MessageChannel();

function pause(milliseconds) {
  if (milliseconds > 0) return new Promise((done) => setTimeout(done, milliseconds));
  return new Promise((done) => {
    nextTurn.port1.onmessage = done;
    nextTurn.port2.postMessage(null);
  });
}

/** Write the texts up to number `end`, which is excluded, or until another message replaces `job`. */
async function write(first, end, isBegun) {
  const own = (job = {});
  lastEnd = end;
  for (let number = first; number < end; number++) {
    if (!isBegun || number > first) begin(number);
    do {
      const began = performance.now();
      const isFull = settings.pace === "full";
      do step(1);
      while (isFull && performance.now() - began < SLICE_MS && !model.sampler.hasEnded);
      report();
      const wait = PAUSES_MS[settings.pace] || FRAME_MS - (performance.now() - began);
      await pause(isFull ? 0 : wait);
      if (job !== own) return;
    } while (!model.sampler.hasEnded);
  }
  job = null;
  postMessage({ kind: "done" });
}

function begin(number) {
  const { seed, prefix, how } = settings;
  writer = new Writer(model);
  writer.begin({ seed: BigInt(seed), number, prefix, how });
  meter ??= { ms: 0, characters: 0, tokens: 0 };
}

/** Draw tokens, and measure how long that takes. */
function step(tokens) {
  const began = performance.now();
  model.sampler.run(tokens);
  meter.ms += performance.now() - began;
  meter.tokens += tokens;
}

/** Send the text so far, and what may come next. */
function report() {
  const { sampler } = model;
  const isFirst = writer.shown === undefined;
  const before = writer.shown ?? "";
  const text = writer.text();
  const { tokenizer, description } = model;
  const mayChange = tokenizer.isSpaced || (sampler.hasEnded && description.stop.length > 0);
  const isAppended = !mayChange || text.startsWith(before);
  meter.characters += Math.max(0, text.length - before.length);
  writer.shown = text;
  const next = sampler.hasEnded ? [] : sampler.likeliest(BARS);
  postMessage({
    kind: "text",
    number: String(writer.number),
    given: writer.given,
    added: isAppended ? text.slice(before.length) : text,
    isAppended,
    isFirst,
    drawn: writer.drawn,
    next: next.map(({ token, share }) => ({ token, share, label: writer.label(token) })),
    ended: sampler.hasEnded ? (sampler.isComplete ? "complete" : "cut") : "",
    speed: meter.ms > 0 ? (1000 * meter.characters) / meter.ms : 0,
    tokensPerSecond: meter.ms > 0 ? (1000 * meter.tokens) / meter.ms : 0,
  });
}

const actions = {
  async open({ bytes, wasm }) {
    const began = performance.now();
    model = await openModel(fromBase64(bytes), fromBase64(wasm));
    const { description } = model;
    postMessage({ kind: "ready", description: described(description), ms: performance.now() - began });
  },

  /** Write texts from their beginnings to their ends. */
  write(message) {
    settings = message.settings;
    meter = null;
    const first = BigInt(settings.number);
    return write(first, first + BigInt(settings.texts), false);
  },

  /** Continue the text that was stopped or cut, and the texts that were to follow. */
  goOn(message) {
    settings = { ...message.settings, seed: settings.seed, prefix: settings.prefix };
    writer.change(settings.how);
    const { number } = writer;
    return write(number, lastEnd > number ? lastEnd : number + 1n, true);
  },

  /** Change how the next tokens are drawn. */
  change(message) {
    if (!settings) return;
    settings = { ...settings, ...message.settings };
    if (writer) writer.change(settings.how);
    if (!job && writer) report();
  },

  /** Show what may come after a beginning, without drawing anything. */
  look(message) {
    settings = message.settings;
    job = meter = null;
    begin(BigInt(settings.number));
    lastEnd = writer.number + BigInt(settings.texts);
    report();
  },

  /** Draw a single token, or take the one that the user chose. */
  take({ token }) {
    job = null;
    if (token === undefined) step(1);
    else model.sampler.take(token);
    report();
  },

  stop() {
    job = null;
    postMessage({ kind: "done" });
  },
};

/** Leave out what only the worker needs. */
function described({ network, tokenizer, arrays, ...rest }) {
  return { ...rest, kind: tokenizer.kind, vocab: network.vocab };
}

addEventListener("message", async ({ data }) => {
  try {
    await actions[data.kind](data);
  } catch (error) {
    job = null;
    postMessage({ kind: "failed", message: error.message });
  }
});
