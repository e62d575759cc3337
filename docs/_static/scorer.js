// Which results of the search come first: pages that answer a question, then methods and the public reference, then
// chapters, and last what is inside. A page that has the word in its title comes before one that has it in its text.
const INSIDE = /^(reference\/(?!taujp$)|house$|licences$|speed$|contributing$)/;

var Scorer = {
  score: ([document, title, anchor, description, score, file]) => {
    if (INSIDE.test(document)) return score - 40;
    if (document.startsWith("chapters/") || document.startsWith("gallery/")) return score - 15;
    if (document.startsWith("methods/")) return score - 8;
    return anchor && anchor.startsWith("#") ? score : score + 10;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
