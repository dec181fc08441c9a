// Text to tokens and back, as in rnnlm/tokenizer.

const BOUNDARY = 0;
const UNKNOWN = 1;
const utf8 = new TextEncoder();

// The same pieces as in rnnlm/tokenizer/segments.py: words and runs of punctuation with the space
// before them, other spaces, and single control characters.
const PIECES = new RegExp(
  " ?[0-9A-Za-z_\\u{80}-\\u{10FFFF}]+(?:'[0-9A-Za-z_\\u{80}-\\u{10FFFF}]+)*" +
  "| ?[!-/:-@\\[-^`{-~]+| +(?= [!-~\\u{80}-\\u{10FFFF}])| +|[\\0-\\x1F\\x7F]", "gu");

function piecesOf(text) {
  return text.match(PIECES) ?? [];
}

/** Turn bytes into a string. Invalid UTF-8 is left out; an incomplete character at the end is kept
 * for the next call. */
class Bytes {
  constructor() {
    this.rest = [];
  }

  add(bytes) {
    const all = [...this.rest, ...bytes];
    const kept = [];
    let place = 0;
    while (place < all.length) {
      const size = sizeOf(all, place);
      if (size < 0) break;
      for (let n = 0; n < size; n++) kept.push(all[place + n]);
      place += Math.max(1, size);
    }
    this.rest = all.slice(place);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(kept));
  }
}

/** Return the bytes of the character at `place`: 0 if there is none, -1 if more must follow. */
function sizeOf(bytes, place) {
  const first = bytes[place];
  if (first < 0x80) return 1;
  const size = first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3
    : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  for (let n = 1; n < size; n++) {
    if (place + n === bytes.length) return -1;
    let [low, high] = [0x80, 0xc0];
    if (n === 1 && first === 0xe0) low = 0xa0; // overlong encoding
    if (n === 1 && first === 0xed) high = 0xa0; // half of a surrogate pair
    if (n === 1 && first === 0xf0) low = 0x90;
    if (n === 1 && first === 0xf4) high = 0x90; // above U+10FFFF
    if (bytes[place + n] < low || bytes[place + n] >= high) return 0;
  }
  return size;
}

class CharacterTokenizer {
  constructor({ characters }) {
    this.characters = [...characters];
    this.ids = new Map(this.characters.map((character, place) => [character, place + 2]));
    this.bytes = [[], [], ...this.characters.map((character) => utf8.encode(character))];
  }

  encode(text) {
    return [...text].map((character) => this.ids.get(character) ?? UNKNOWN);
  }

  unknownIn(text) {
    return [...new Set(text)].filter((character) => !this.ids.has(character));
  }
}

class ByteTokenizer {
  constructor() {
    this.bytes = Array.from({ length: 256 }, (_, id) => [id === 255 ? 0 : id]);
    this.bytes[BOUNDARY] = [];
  }

  encode(text) {
    return Array.from(utf8.encode(text), (byte) => byte || 255);
  }

  unknownIn() {
    return [];
  }
}

class WordTokenizer {
  constructor({ style, words }) {
    this.isSpaced = style === "whitespace";
    this.words = words;
    this.ids = new Map(words.map((word, place) => [word, place + 2]));
    if (this.isSpaced) this.ids.set("\n", BOUNDARY).set("<unk>", UNKNOWN);
    else this.bytes = [[], [], ...words.map((word) => utf8.encode(word))];
  }

  encode(text) {
    return this.cut(text).map((word) => this.ids.get(word) ?? UNKNOWN);
  }

  cut(text) {
    return this.isSpaced ? text.match(/\n|[^ \t\r\v\f\n]+/g) ?? [] : piecesOf(text);
  }

  unknownIn(text) {
    const words = new Set(this.cut(text));
    return [...words].filter((word) => !this.ids.has(word) && /[^ \t\n\r\v\f]/.test(word));
  }

  /** Return the text of all ids, for words whose spaces depend on their neighbours. */
  spaced(ids) {
    const words = ids.map((id) => this.word(id));
    return words.join(" ").replaceAll(" \n ", "\n").replaceAll(" \n", "\n").replaceAll("\n ", "\n")
      .replace(/\n+$/, "");
  }

  word(id) {
    return id === BOUNDARY ? "\n" : id === UNKNOWN ? "<unk>" : this.words[id - 2];
  }
}

class PieceTokenizer {
  /** `tokens` has a string per token, one character per byte; `merges` is left, right, result, … */
  constructor({ tokens, merges }) {
    this.bytes = tokens.map((token) => Array.from(token, (letter) => letter.charCodeAt(0)));
    this.single = new Map();
    this.bytes.forEach((bytes, id) => bytes.length === 1 && this.single.set(bytes[0], id));
    this.merges = new Map();
    for (let n = 0; n < merges.length; n += 3)
      this.merges.set(`${merges[n]} ${merges[n + 1]}`, { rank: n, token: merges[n + 2] });
  }

  encode(text) {
    return piecesOf(text).flatMap((piece) => this.encodePiece(utf8.encode(piece)));
  }

  /** Merge the pair that was learnt first, from the left, until no pair is left. */
  encodePiece(bytes) {
    const ids = Array.from(bytes, (byte) => this.single.get(byte));
    for (;;) {
      let best = null;
      let at = 0;
      for (let n = 0; n + 1 < ids.length; n++) {
        const merge = this.merges.get(`${ids[n]} ${ids[n + 1]}`);
        if (merge && (!best || merge.rank < best.rank)) [best, at] = [merge, n];
      }
      if (!best) return ids;
      ids.splice(at, 2, best.token);
    }
  }

  unknownIn() {
    return [];
  }
}

function tokenizerOf(description) {
  const kinds = {
    character: CharacterTokenizer, byte: ByteTokenizer, word: WordTokenizer, bpe: PieceTokenizer,
  };
  return new kinds[description.kind](description);
}
