"use strict";
// The page is whole without this: it adds buttons that copy, and a field that filters the models.
if (navigator.clipboard) {
  for (const block of document.querySelectorAll("pre")) {
    const text = block.textContent;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    const held = document.createElement("div");
    held.className = "held";
    block.replaceWith(held);
    held.append(block, button);
  }
}
const filter = document.querySelector(".filter");
if (filter) {
  filter.hidden = false;
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(".group")) {
      let shown = 0;
      for (const card of group.querySelectorAll(".card")) {
        card.hidden = !card.querySelector("summary").textContent.toLowerCase().includes(wanted);
        shown += card.hidden ? 0 : 1;
      }
      group.hidden = shown === 0;
    }
  });
}
