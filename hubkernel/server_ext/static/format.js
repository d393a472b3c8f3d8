// Values of commands as text to read. Nothing here touches the page.

const WIDEST = 60;        // characters of a cell
const NESTED = 30;        // characters of one that holds a list or an object
const ROWS = 200;         // rows of a table
const LONGEST = 200_000;  // characters of one answer
const CONTROL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const isTable = (value) => Array.isArray(value) && value.length > 0 && value.every(isObject);
const isFound = (value) => isObject(value) && Array.isArray(value.hits) && "total" in value;

/** What `value` is as text, and whether its columns have to stay aligned: {text, table}. */
export function shown(value) {
  const table = isTable(value) || isFound(value) || (isObject(value) && Object.values(value).some(isTable));
  return { text: clean(cut(lines(value, 0).join("\n"))), table };
}

/** Text without what could be mistaken for something else than text. */
export const clean = (text) => String(text).replace(CONTROL, "\ufffd");

function cut(text) {
  const more = text.length - LONGEST;
  return more > 0 ? `${text.slice(0, LONGEST)}\n… and ${more.toLocaleString("en")} more characters` : text;
}

function lines(value, depth) {
  if (value === null || value === undefined) return [];
  if (typeof value === "string") return value.replace(/\n$/, "").split("\n");
  if (isTable(value)) return tableLines(value);
  if (isFound(value)) return [`${Number(value.total).toLocaleString("en")} found`, ...lines(value.hits, depth)];
  if (isObject(value)) return objectLines(value, depth);
  if (Array.isArray(value) && JSON.stringify(value).length > 100) return value.map((item) => JSON.stringify(item));
  return [JSON.stringify(value)];
}

function objectLines(found, depth) {
  const keys = Object.keys(found);
  if (!keys.length) return ["{}"];
  const wide = Math.min(28, Math.max(...keys.map((key) => key.length)));
  return keys.flatMap((key) => {
    const inner = found[key];
    const short = cell(inner, 100);
    const nested = inner !== null && typeof inner === "object" && JSON.stringify(inner).length > 60 && depth < 4;
    if (!nested) return [`${key.padEnd(wide)}  ${short}`.trimEnd()];
    if (Array.isArray(inner) && !isTable(inner)) {
      return [`${key.padEnd(wide)}  ${inner.map((item) => cell(item)).join(", ")}`];
    }
    return [key, ...lines(inner, depth + 1).map((line) => `  ${line}`)];
  });
}

function tableLines(rows) {
  const keys = [...new Set(rows.flatMap(Object.keys))];
  keys.sort((one, other) => (other === "_id") - (one === "_id"));
  const used = keys.filter((key) => rows.some((row) => row[key] !== null && row[key] !== undefined && row[key] !== ""));
  const drawn = rows.slice(0, ROWS).map((row) => used.map((key) => cell(row[key])));
  const widths = used.map((key, i) => Math.max(key.length, ...drawn.map((cells) => cells[i].length)));
  const right = used.map((key) => rows.every((row) => row[key] == null || typeof row[key] === "number"));
  const line = (cells) =>
    cells.map((text, i) => (right[i] ? text.padStart(widths[i]) : text.padEnd(widths[i]))).join("  ").trimEnd();
  const more = rows.length > ROWS ? [`… and ${(rows.length - ROWS).toLocaleString("en")} more`] : [];
  return [line(used), line(widths.map((width) => "─".repeat(width))), ...drawn.map(line), ...more];
}

function cell(value, room = value !== null && typeof value === "object" ? NESTED : WIDEST) {
  if (value === null || value === undefined) return "";
  const text = (typeof value === "string" ? value : JSON.stringify(value)).replace(/\s+/g, " ");
  return text.length > room ? `${text.slice(0, room - 1)}…` : text;
}
