// Token healing, as in rnnlm/constraints/healing.py: the model is not given the last piece of a
// beginning, but must write it, so that it may use tokens that reach beyond it.

const NEVER = 2 ** 30 - 1;

/** Return the automaton that allows every text of a vocabulary. */
function anything(tokenizer) {
  const vocab = tokenizer.bytes.length;
  const successors = new Int32Array(2 * vocab).fill(-1);
  tokenizer.bytes.forEach((bytes, token) => {
    if (bytes.length) successors[token] = 0;
  });
  successors[BOUNDARY] = 1;
  return { successors, distance: Int32Array.of(1, 0) };
}

/** Return the state of an automaton after some tokens, or -1 if one of them is not allowed. */
function stateAfter({ successors, vocab }, ids) {
  let state = 0;
  for (const id of ids) {
    state = successors[state * vocab + id];
    if (state < 0) return -1;
  }
  return state;
}

/** States in which the rest of a beginning must be written, added to an automaton. */
class Table {
  constructor(automaton, spelled) {
    this.automaton = automaton;
    this.spelled = spelled;
    this.own = automaton.distance.length;
    this.rows = [];
    this.distances = [];
    this.known = new Map();
  }

  state(state, rest) {
    if (!rest.length) return state;
    const key = `${state} ${rest}`;
    if (!this.known.has(key)) this.known.set(key, this.add(state, rest));
    return this.known.get(key);
  }

  add(state, rest) {
    const { successors, vocab } = this.automaton;
    const row = new Int32Array(vocab).fill(-1);
    let fewest = NEVER;
    this.spelled.forEach((bytes, token) => {
      if (token === BOUNDARY || !bytes.length) return;
      const common = Math.min(bytes.length, rest.length);
      for (let n = 0; n < common; n++) if (bytes[n] !== rest[n]) return;
      const after = successors[state * vocab + token];
      const following = after < 0 ? -1 : this.state(after, rest.slice(bytes.length));
      if (following < 0) return;
      row[token] = following;
      fewest = Math.min(fewest, 1 + this.distance(following));
    });
    if (fewest >= NEVER) return -1;
    this.rows.push(row);
    this.distances.push(fewest);
    return this.own + this.rows.length - 1;
  }

  distance(state) {
    return state < this.own ? this.automaton.distance[state] : this.distances[state - this.own];
  }
}

/**
 * Return how texts with a beginning are drawn.
 * @param automaton {successors, distance} of the model's constraints, or null
 * @returns {head, automaton}: the text that is given to the model, and what `Sampler.begin` takes
 */
function rulesOf(tokenizer, kind, prefix, automaton, maxLength) {
  const vocab = tokenizer.bytes?.length;
  if (kind !== "bpe" || !prefix) {
    if (!automaton) return { head: prefix, automaton: null };
    const start = stateAfter({ ...automaton, vocab }, tokenizer.encode(prefix));
    if (start < 0 || automaton.distance[start] > maxLength) throw new CannotBegin(prefix);
    return { head: prefix, automaton: { ...automaton, successors: [automaton.successors], start } };
  }
  tokenizer.anything ??= anything(tokenizer);
  const whole = { ...(automaton ?? tokenizer.anything), vocab };
  const table = new Table(whole, tokenizer.bytes);
  const last = piecesOf(prefix).at(-1);
  const before = prefix.slice(0, prefix.length - last.length);
  for (const [head, tail] of [[before, Array.from(utf8.encode(last))], [prefix, []]]) {
    const state = stateAfter(whole, tokenizer.encode(head));
    const start = state < 0 ? -1 : table.state(state, tail);
    if (start < 0 || table.distance(start) > maxLength) continue;
    const distance = Int32Array.from([...whole.distance, ...table.distances]);
    return { head, automaton: { successors: [whole.successors, ...table.rows], distance, start } };
  }
  throw new CannotBegin(prefix);
}

class CannotBegin extends Error {
  constructor(prefix) {
    super(`No text that this model may write can begin with “${prefix}”. Change it, or allow longer texts.`);
  }
}
