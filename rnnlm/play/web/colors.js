// Parse a line with a colour, in any of the formats of rnnlm/colors.py.

const RGB = /^(\S(?:.*\S)?) (\d{1,3}) (\d{1,3}) (\d{1,3})$/;
const IN_SPACE = /^(\S(?:.*\S)?) (hsv|lab) (-?\d{1,3}) (-?\d{1,3}) (-?\d{1,3})$/;
const NAMED = /^(#[0-9a-f]{6}) ([^#\s](?:.*\S)?)$/;

/** Return {name, hex} of a line, or null if it is not a colour. */
function parseColor(text) {
  const named = NAMED.exec(text);
  if (named) return { name: named[2], hex: named[1] };
  const found = IN_SPACE.exec(text);
  if (found) {
    const convert = found[2] === "hsv" ? fromHsv : fromLab;
    const channels = convert(...found.slice(3).map(Number));
    return channels && { name: found[1], hex: hexOf(channels) };
  }
  const line = RGB.exec(text);
  const channels = line?.slice(2).map(Number);
  return channels && Math.max(...channels) < 256 ? { name: line[1], hex: hexOf(channels) } : null;
}

function hexOf(channels) {
  return `#${channels.map((one) => one.toString(16).padStart(2, "0")).join("")}`;
}

function toByte(share) {
  return Math.min(255, Math.max(0, Math.round(255 * share)));
}

function fromHsv(hue, saturation, value) {
  if (hue < 0 || hue > 359 || Math.min(saturation, value) < 0 || Math.max(saturation, value) > 100)
    return null;
  const [s, v] = [saturation / 100, value / 100];
  return [5, 3, 1].map((n) => {
    const k = (n + hue / 60) % 6;
    return toByte(v - v * s * Math.max(0, Math.min(k, 4 - k, 1)));
  });
}

/** CIELAB under D65 to sRGB. Source: CIE 15:2004 and IEC 61966-2-1. */
function fromLab(lightness, a, b) {
  if (lightness < 0 || lightness > 100 || Math.min(a, b) < -128 || Math.max(a, b) > 127) return null;
  const y = (lightness + 16) / 116;
  const cube = (t) => (t > 6 / 29 ? t ** 3 : 3 * (6 / 29) ** 2 * (t - 4 / 29));
  const [X, Y, Z] = [0.95045593 * cube(y + a / 500), cube(y), 1.08905775 * cube(y - b / 200)];
  const linear = [
    3.2409699419 * X - 1.5373831776 * Y - 0.4986107603 * Z,
    -0.9692436363 * X + 1.8759675015 * Y + 0.0415550574 * Z,
    0.0556300797 * X - 0.2039769589 * Y + 1.0569715142 * Z,
  ];
  return linear.map((c) => toByte(c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055));
}
