// One text while it is written: its beginning, its tokens, and its string.

class Writer {
  /** `model` is {description, sampler, tokenizer, automaton}. */
  constructor(model) {
    this.model = model;
  }

  /**
   * Begin a text.
   * @param settings {seed, number (BigInt), prefix (with the header), how (see Sampler.set)}
   */
  begin({ seed, number, prefix, how }) {
    const { sampler, tokenizer, automaton, description } = this.model;
    const given = prefix.normalize("NFC");
    const unknown = tokenizer.unknownIn(given);
    if (unknown.length)
      throw new Error(`The model never saw ${unknown.slice(0, 10).map((part) => `“${part}”`)
        .join(", ")} in training. Leave it out.`);
    const { tokenizer: { kind } } = description;
    const rules = rulesOf(tokenizer, kind, given, automaton, how.max_length);
    Object.assign(this, { given, head: rules.head, number });
    this.reset();
    sampler.set(how);
    sampler.begin(seed, number, tokenizer.encode(rules.head), rules.automaton);
  }

  reset() {
    Object.assign(this, { drawn: 0, ids: [], bytes: new Bytes(), said: this.head });
  }

  /** Change how the next tokens are drawn; a text that was cut continues if it may be longer now. */
  change(how) {
    const { sampler } = this.model;
    const isCut = sampler.hasEnded && !sampler.isComplete;
    if (isCut && how.max_length > sampler.how.max_length) {
      sampler.goOn(how.max_length);
      this.reset();
    }
    sampler.set(how);
  }

  /** Add the tokens that were drawn since the last call to the text; return it. */
  text() {
    const { sampler, tokenizer, description: { stop } } = this.model;
    const fresh = sampler.fresh();
    this.drawn += fresh.length;
    if (tokenizer.isSpaced) {
      this.ids = this.ids.concat(fresh);
      return tokenizer.spaced([...tokenizer.encode(this.head), ...this.ids]);
    }
    this.said += this.bytes.add(fresh.flatMap((id) => Array.from(tokenizer.bytes[id])));
    return sampler.hasEnded && stop.length ? cutAt(this.said, stop) : this.said;
  }

  /** Return the text of a token, as a label. */
  label(token) {
    const { tokenizer, description } = this.model;
    if (tokenizer.isSpaced) return token === BOUNDARY ? "\n" : tokenizer.word(token);
    if (token === BOUNDARY) return null; // the end of the text
    const bytes = Array.from(tokenizer.bytes[token]);
    const text = new Bytes().add(bytes);
    if (text || !bytes.length) return text;
    return bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(" "); // part of a character
  }
}

/** Cut a text before the stop string that ends first; see `stop_pattern`. */
function cutAt(text, stop) {
  const first = stop.filter((one) => !stop.some((other) => one.slice(0, -1).includes(other)));
  const places = first.map((one) => text.indexOf(one)).filter((place) => place >= 0);
  return places.length ? text.slice(0, Math.min(...places)) : text;
}

/** Read a model from its bytes, so that a Writer can write with it. */
async function openModel(bytes, wasm) {
  const { description, arrays } = await readModel(bytes);
  const sampler = await Sampler.open(wasm, description.network, arrays);
  const { successors, distance } = arrays;
  const automaton = successors && {
    successors: integers(successors), distance: integers(distance),
  };
  const tokenizer = tokenizerOf(description.tokenizer);
  return { description, sampler, tokenizer, automaton: automaton ?? null };
}

function integers(bytes) {
  return new Int32Array(bytes.slice().buffer);
}
