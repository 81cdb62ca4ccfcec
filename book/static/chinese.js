// Splits what is searched for into the words that the index has: Chinese is written without spaces.
function splitQuery(query) {
  const known = Search._index.terms, titles = Search._index.titleterms;
  const has = (word) => Object.hasOwn(known, word) || Object.hasOwn(titles, word);
  return query.match(/[\p{Script=Han}]+|[\p{L}\p{N}_]+/gu)?.flatMap((part) => {
    if (!/\p{Script=Han}/u.test(part)) return [part];
    const words = [];
    for (let start = 0; start < part.length; ) {
      let end = part.length;
      while (end > start + 1 && !has(part.slice(start, end))) end -= 1;
      words.push(part.slice(start, end));
      start = end;
    }
    const found = words.filter((word) => word.length > 1);
    return found.length ? found : [part];
  }) ?? [];
}
