// Which results of the search come first: those whose title begins with what was asked for, or has it; then pages that answer
// a question, methods and the public reference, then chapters, and last what is inside.
var Scorer = (() => {
  const inside = /^(reference\/(?!taujp$)|layout$|licences$|speed$|contributing$)/;
  const asked = (new URLSearchParams(window.location.search).get("q") || "").trim().toLowerCase();
  const stem = asked.replace(/(ing|e|es|s)$/, "");
  const score = ([page, title, anchor, description, found]) => {
    const name = title.toLowerCase().split(/ > |\.(?=\w+$)/).pop();
    const named = !stem ? 0 : name.startsWith(stem) ? 30 : name.includes(stem) ? 15 : 0;
    if (inside.test(page)) return found + named - 40;
    if (page.startsWith("chapters/") || page.startsWith("gallery/")) return found + named - 15;
    return found + named + (anchor ? 0 : 10) - (page.startsWith("methods/") ? 8 : 0);
  };
  return {
    score,
    objNameMatch: 11,
    objPartialMatch: 6,
    objPrio: { 0: 15, 1: 5, 2: -5 },
    objPrioDefault: 0,
    title: 15,
    partialTitle: 7,
    term: 5,
    partialTerm: 2,
  };
})();
