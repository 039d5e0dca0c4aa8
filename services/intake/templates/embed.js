// <script src=".../forms/NAME/embed.js" data-lang="zh" data-link="..." async></script> puts the form into a frame in
// its place, and gives the frame the height of the form.
"use strict";
(() => {
  const script = document.currentScript;
  const titles = {{ titles | tojson }};
  const page = new URL(script.src.replace(/\/embed\.js.*$/, ""));
  const lang = script.dataset.lang || document.documentElement.lang.slice(0, 2).toLowerCase();
  if (lang in titles) page.searchParams.set("lang", lang);
  if (script.dataset.link) page.searchParams.set("link", script.dataset.link);

  const frame = document.createElement("iframe");
  frame.src = page.href;
  frame.title = titles[lang] || titles.en;
  frame.width = "100%";
  frame.height = "600";
  frame.style.border = "0";
  window.addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== page.origin) return;
    const height = event.data && event.data.cqmFormHeight;
    if (Number.isFinite(height) && height > 0) frame.height = String(Math.min(Math.ceil(height), 20000));
  });
  script.after(frame);
})();
