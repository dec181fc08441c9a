// The model in WebAssembly: reads its bytes (see rnnlm/play/page.py) and draws one text at a time.

const ONE = 2 ** 30; // weight of the likeliest token, as in slots.c
const LONGEST = 1 << 20; // most tokens of a text
const KEPT_BYTES = 64 << 20; // most memory for rows of the first layer's table

/** Return the bytes that a base64 string encodes. */
function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text.trim());
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let n = 0; n < bytes.length; n++) bytes[n] = binary.charCodeAt(n);
  return bytes;
}

/** Return the description and the arrays (as bytes, by name) of a model. */
async function readModel(compressed) {
  const inflated = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(inflated).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const description = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const arrays = {};
  let place = 4 + length;
  for (const { name, bytes, item } of description.arrays) {
    arrays[name] = unshuffled(new Uint8Array(buffer, place, bytes), item);
    place += bytes;
  }
  return { description, arrays };
}

/** Undo the shuffling of an array's bytes: all first bytes of its items, then all second ones, … */
function unshuffled(bytes, item) {
  if (item === 1) return bytes;
  const whole = new Uint8Array(bytes.length);
  const count = bytes.length / item;
  for (let plane = 0; plane < item; plane++)
    for (let n = 0, from = plane * count; n < count; n++) whole[n * item + plane] = bytes[from + n];
  return whole;
}

/** Memory of the engine that is reused, and replaced with more when it is too small. */
class Scratch {
  constructor(sampler) {
    this.sampler = sampler;
    this.address = 0;
    this.bytes = 0;
  }

  /** Return the address of memory for at least this many bytes. */
  reserve(bytes) {
    if (bytes > this.bytes) {
      this.bytes = Math.max(bytes, 2 * this.bytes);
      this.address = this.sampler.allocate(this.bytes);
    }
    return this.address;
  }
}

class Sampler {
  /** Load a model; `network` is its part of the description. */
  static async open(wasm, network, arrays) {
    const { instance } = await WebAssembly.instantiate(wasm, {});
    return new Sampler(instance.exports, network, arrays);
  }

  constructor(engine, network, arrays) {
    this.engine = engine;
    this.vocab = network.vocab;
    this.wide = Math.ceil(network.vocab / 64) * 64;
    this.prefix = new Scratch(this);
    this.successors = new Scratch(this);
    this.distance = new Scratch(this);
    this.start = this.allocate(4);
    this.tokens = this.allocate(4 * LONGEST);
    this.texts = this.allocate(4 * LONGEST);
    this.shared = null; // successors that are in memory already
    network.layers.forEach((layer, number) => {
      const [weight, scale, start, memory, added] = ["weight", "scale", "start", "memory", "added"]
        .map((part) => this.put(arrays[`${number}.${part}`]));
      engine.add_layer(layer.kind, layer.units, layer.depth, layer.own, weight, scale, added,
        this.allocate(8 * layer.depth), this.allocate(4 * layer.memory), start, memory);
    });
    if (network.features) this.setTable(network.features, arrays);
    const [weight, scale, added] = ["weight", "scale", "added"].map((part) =>
      this.put(arrays[`output.${part}`]));
    this.weights = this.allocate(4 * this.wide);
    engine.set_output(network.vocab, network.depth, weight, scale, added,
      this.allocate(4 * network.depth), this.allocate(4 * this.wide), this.allocate(4 * this.wide),
      this.weights, this.allocate(this.wide / 8));
  }

  setTable(features, arrays) {
    const { inputs, places } = { inputs: arrays["table.inputs"], places: arrays["table.places"] };
    const columns = inputs.length / 4 / features;
    const kept = Math.max(1, Math.min(this.vocab, Math.floor(KEPT_BYTES / (4 * columns))));
    const put = ["embeddings", "inputs", "bias", "rates", "shifts", "places", "values"].map((part) =>
      this.put(arrays[`table.${part}`]));
    this.engine.set_table(features, columns, kept, places.length / 4, ...put,
      this.allocate(4 * kept), this.allocate(4 * kept * columns), this.allocate(8 * columns));
  }

  allocate(bytes) {
    const address = this.engine.allocate(bytes) >>> 0;
    if (!address) throw new Error("this device has too little memory for the model");
    return address;
  }

  /** Copy bytes into the engine's memory; return their address, or 0 for none. */
  put(bytes, address = bytes && this.allocate(bytes.length)) {
    if (!bytes) return 0;
    new Uint8Array(this.engine.memory.buffer, address, bytes.length).set(bytes);
    return address;
  }

  /** Set how tokens are drawn: temperature, top_p, top_k, min_p, … as in rnnlm/config. */
  set(how) {
    this.how = { ...how, max_length: Math.min(how.max_length, LONGEST) };
    const rate = how.temperature === 0 ? 0 : Math.min(Math.LOG2E / how.temperature, 1e30);
    const least = Math.max(1, Math.ceil(how.min_p * ONE));
    this.engine.set_sampling(how.top_p, rate, how.repetition_penalty, how.top_k, least,
      how.min_length, this.how.max_length);
  }

  /**
   * Begin text `number` of `seed` (both BigInt).
   * @param ids tokens that are read before any is drawn
   * @param automaton {successors: [Int32Array, …], distance: Int32Array, start}, or null
   */
  begin(seed, number, ids, automaton) {
    const { engine } = this;
    if (automaton) this.setAutomaton(automaton);
    else engine.set_automaton(0, 0, 0, 0);
    const prefix = this.prefix.reserve(4 * ids.length + 4);
    this.put(new Uint8Array(Int32Array.from(ids).buffer), prefix);
    engine.begin_text(seed, number, prefix, ids.length, this.tokens, this.texts);
    this.read = 0;
    this.run(ids.length);
  }

  setAutomaton({ successors, distance, start }) {
    const row = 4 * this.vocab;
    const rows = successors.reduce((sum, part) => sum + part.byteLength, 0);
    const before = this.successors.address;
    let place = this.successors.reserve(rows + 64 * row);
    const address = place;
    for (const part of successors) {
      const isThere = part === this.shared && before === address;
      const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
      if (!isThere) this.put(bytes, place);
      place += part.byteLength;
    }
    this.shared = successors[0];
    const distances = this.distance.reserve(distance.byteLength + 256);
    this.put(new Uint8Array(distance.buffer, distance.byteOffset, distance.byteLength), distances);
    this.put(new Uint8Array(Int32Array.of(start).buffer), this.start);
    this.engine.set_automaton(address, distances, this.start,
      distance.reduce((most, one) => Math.max(most, one), 0));
  }

  /** Draw at most `steps` tokens. */
  run(steps) {
    this.engine.run(steps);
  }

  /** Return the tokens that were drawn since the last call. */
  fresh() {
    const length = this.engine.length();
    const place = this.tokens + 4 * this.read;
    const ids = Array.from(new Int32Array(this.engine.memory.buffer, place, length - this.read));
    this.read = length;
    return ids;
  }

  get length() {
    return this.engine.length();
  }

  get hasEnded() {
    return this.engine.has_ended() !== 0;
  }

  /** Whether the model ended the text, instead of the limit on its length. */
  get isComplete() {
    return this.engine.is_complete() !== 0;
  }

  /** Let a text that was cut go on up to a new length; `fresh` then begins with its first token. */
  goOn(maxLength) {
    this.read = 0;
    this.how = { ...this.how, max_length: Math.min(maxLength, LONGEST) };
    this.engine.go_on(this.how.max_length);
  }

  take(token) {
    this.engine.take(token);
  }

  /** Return the tokens that may come next, likeliest first: [{token, share}, …]. */
  likeliest(count) {
    const total = this.engine.weigh_tokens();
    if (!total) return [];
    const weights = new Int32Array(this.engine.memory.buffer, this.weights, this.vocab);
    const best = [];
    let least = 0;
    for (let token = 0; token < weights.length; token++) {
      const weight = weights[token];
      if (weight <= least) continue;
      let place = best.length;
      while (place && best[place - 1].weight < weight) place--;
      best.splice(place, 0, { token, weight });
      if (best.length > count) best.pop();
      if (best.length === count) least = best[count - 1].weight;
    }
    return best.map(({ token, weight }) => ({ token, share: weight / total }));
  }
}
