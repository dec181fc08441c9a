// Runs the page's own code in Node: reads tasks as JSON from standard input, writes the results.

const fs = require("fs");
const { sources, engine, model, tasks, keptBytes } = JSON.parse(fs.readFileSync(0, "utf8"));
let code = sources.map((file) => fs.readFileSync(file, "utf8")).join("\n");
if (keptBytes) code = code.replace(/KEPT_BYTES = [^;]+/, `KEPT_BYTES = ${keptBytes}`);
const names = ["openModel", "Writer", "fromBase64", "tokenizerOf", "piecesOf", "Bytes", "parseColor"];
const page = new Function(`${code}; return { ${names.join(", ")} };`)();

const actions = {
  /** Draw one text, `at` tokens at a time. */
  draw(opened, { seed, number, prefix, how, at = 64, longer }) {
    const writer = new page.Writer(opened);
    const settings = { ...opened.description.sampling, ...how };
    try {
      writer.begin({ seed: BigInt(seed), number: BigInt(number), prefix, how: settings });
    } catch (error) {
      return { error: error.message };
    }
    const { sampler } = opened;
    const finish = () => {
      while (!sampler.hasEnded) {
        sampler.run(at);
        writer.text();
      }
    };
    finish();
    if (longer) {
      writer.change({ ...settings, max_length: longer });
      finish();
    }
    const { buffer } = sampler.engine.memory;
    return {
      text: writer.text(),
      tokens: Array.from(new Int32Array(buffer, sampler.tokens, sampler.length)),
      complete: sampler.isComplete,
    };
  },

  /** Return what may come after a beginning. */
  next(opened, { prefix, how, count }) {
    const writer = new page.Writer(opened);
    writer.begin({ seed: 1n, number: 0n, prefix, how: { ...opened.description.sampling, ...how } });
    return opened.sampler.likeliest(count).map((one) => ({ ...one, label: writer.label(one.token) }));
  },

  encode(_, { tokenizer, texts }) {
    const made = page.tokenizerOf(tokenizer);
    return texts.map((text) => ({ ids: made.encode(text), unknown: made.unknownIn(text) }));
  },

  decode(_, { parts }) {
    const bytes = new page.Bytes();
    return parts.map((part) => bytes.add(part)).join("");
  },

  colors(_, { texts }) {
    return texts.map(page.parseColor);
  },
};

(async () => {
  const wasm = fs.readFileSync(engine);
  const opened = model && (await page.openModel(page.fromBase64(model), wasm));
  const results = tasks.map((task) => actions[task.kind](opened, task));
  fs.writeSync(1, JSON.stringify(results));
})();
