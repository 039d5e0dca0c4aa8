// What pages of forms do beyond HTML. Without this file everything works, in two steps where a question depends on
// another one. Conditions are not evaluated here: the server has worked out the answers for which each holds.
"use strict";
(() => {
  const answerTo = (form, name) => {
    const field = form.elements.namedItem(name);
    if (field === null) return null;
    if ((field instanceof RadioNodeList ? field[0] : field).matches(":disabled")) return "";
    if (field.type === "checkbox") return field.checked ? field.value : "";
    return field.value;
  };

  const follow = (form) => {
    for (const part of form.querySelectorAll("fieldset.when[data-field]")) {
      const answer = answerTo(form, part.dataset.field);
      if (answer === null) continue;
      // an empty answer stands as an empty word at the begin of the list
      const off = !part.dataset.values.split(" ").includes(answer);
      part.hidden = off;
      part.disabled = off;
    }
  };

  for (const form of document.forms) {
    form.addEventListener("change", () => follow(form));
    follow(form);
    // a page that came back from the browser's memory has the answers that it was left with
    window.addEventListener("pageshow", () => follow(form));
  }

  // Browsers do not follow autofocus in a frame of another site.
  document.querySelector("[autofocus]")?.focus();

  // In a frame: tell the page around how high we are (embed.js listens).
  if (window.parent !== window) {
    const tell = () => window.parent.postMessage({ cqmFormHeight: document.documentElement.offsetHeight }, "*");
    new ResizeObserver(tell).observe(document.documentElement);
    tell();
  }
})();
