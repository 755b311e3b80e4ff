const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

function percent(value, digits) {
  return isNumber(value) ? `${(100 * value).toFixed(digits ?? 0)} %` : "–";
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

function signedPoints(value) {
  if (!isNumber(value)) return "–";
  const points = (100 * Math.abs(value)).toFixed(1);
  return `${value > 0 ? "+" : value < 0 ? "−" : ""}${points} points`;
}

function short(text, limit) {
  const flat = text.replace(/<image>/g, " ").replace(/\s+/g, " ").trim();
  return flat.length > limit ? `${flat.slice(0, limit - 1)}…` : flat;
}
