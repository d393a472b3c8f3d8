// What may stand at the cursor: names of commands, and names of their parameters.

const NAMED = new Set(["POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY"]);

/** `{begin, found}`: where the unfinished word begins, and the texts that may replace it. */
export function candidates(registry, before) {
  const start = before.lastIndexOf("&&") < 0 ? 0 : before.lastIndexOf("&&") + 2;
  const match = /^(\s*)(\w*)(?:([\s(])(.*))?$/s.exec(before.slice(start));
  if (match === null) return { begin: before.length, found: [] };
  const [, indent, name, separator, rest = ""] = match;
  if (separator === undefined) {
    return { begin: start + indent.length, found: beginning(Object.keys(registry), name) };
  }
  const word = /[^\s,(]*$/.exec(rest)[0];
  return { begin: before.length - word.length, found: beginning(argumentsOf(registry, name, rest), word) };
}

function argumentsOf(registry, name, rest) {
  if (name === "help") return Object.keys(registry);
  const given = new Set([...rest.matchAll(/(\w+)\s*=/g)].map((match) => match[1]));
  const parameters = Object.hasOwn(registry, name) ? registry[name].parameters : [];
  return parameters.filter((each) => NAMED.has(each.kind) && !given.has(each.name)).map((each) => `${each.name}=`);
}

const beginning = (names, word) => names.filter((name) => name.startsWith(word)).sort();

/** The longest text that all of them begin with. */
export function common(texts) {
  let length = texts[0].length;
  for (const text of texts) while (!text.startsWith(texts[0].slice(0, length))) length -= 1;
  return texts[0].slice(0, length);
}
