// The filter of the configuration reference: shows the keys in whose line all words occur.
document.addEventListener("DOMContentLoaded", () => {
  const input = document.getElementById("key-filter");
  if (!input) return;
  const list = document.getElementById("key-list");
  const count = input.parentElement.querySelector("output");
  const items = [...list.querySelectorAll("li")].map((item) => [item, item.textContent.toLowerCase()]);
  const filter = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [item, text] of items) {
      item.hidden = !words.every((word) => text.includes(word));
      shown += item.hidden ? 0 : 1;
    }
    list.open = words.length > 0;
    count.textContent = words.length ? `${shown} of ${items.length} keys` : "";
  };
  input.addEventListener("input", filter);
  filter();
});
