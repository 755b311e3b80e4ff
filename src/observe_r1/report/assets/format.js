const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Halves go to the even digit, as in Python: the page and the terminal show the same number.
const percents = [0, 1].map((digits) => new Intl.NumberFormat("en-US", {
  minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven", useGrouping: false,
}));

function percent(value, digits) {
  return isNumber(value) ? `${percents[digits ?? 0].format(100 * value)} %` : "–";
}

function count(value) {
  return isNumber(value) ? value.toLocaleString("en-US") : "–";
}

function plain(value, digits) {
  if (!isNumber(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(2);
  return String(Number(value.toFixed(digits ?? (size >= 100 ? 0 : size >= 10 ? 1 : 3))));
}

function signed(value, digits) {
  if (!isNumber(value)) return "–";
  return (value > 0 ? "+" : value < 0 ? "−" : "") + plain(Math.abs(value), digits ?? 2);
}

// A change of a share in points of a hundred.
function points(value) {
  if (!isNumber(value)) return "–";
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${percents[1].format(100 * Math.abs(value))}`;
}

function signedPoints(value) {
  return isNumber(value) ? `${points(value)} points` : "–";
}

function short(text, limit) {
  const flat = text.replace(/<image>/g, " ").replace(/\s+/g, " ").trim();
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat;
}
