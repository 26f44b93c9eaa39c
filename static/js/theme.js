/* Runs before the first paint: the reader's theme and the tenant's brand, so that nothing flashes. Classic script, kept tiny. */
(function () {
  "use strict";
  const root = document.documentElement;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");

  function stored() {
    try {
      const value = localStorage.getItem("lobby-theme");
      return value === "light" || value === "dark" ? value : "system";
    } catch {
      return "system"; // storage may be forbidden; the system's choice is a good one
    }
  }

  function apply(choice) {
    root.dataset.theme = choice === "system" ? (dark.matches ? "dark" : "light") : choice;
    root.dataset.themeChoice = choice;
    document.dispatchEvent(new CustomEvent("lobby:theme", { detail: root.dataset.theme }));
  }

  function channels(hex) {
    return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  }

  // Relative luminance and contrast as WCAG 2.2 defines them.
  function luminance(rgb) {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(a, b) {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  }

  // The brand mixed towards `goal` until text in it reads on `ground`.
  function readable(rgb, ground, goal, least) {
    for (let step = 0; step <= 20; step += 1) {
      const mixed = rgb.map((value, at) => Math.round(value + (goal[at] - value) * (step / 20)));
      if (contrast(mixed, ground) >= least) return `rgb(${mixed.join(" ")})`;
    }
    return `rgb(${goal.join(" ")})`;
  }

  function hue([r, g, b]) {
    const high = Math.max(r, g, b);
    const span = high - Math.min(r, g, b);
    if (span < 24) return null; // a grey has none
    const sixth = high === r ? ((g - b) / span) % 6 : high === g ? (b - r) / span + 2 : (r - g) / span + 4;
    return (sixth * 60 + 360) % 360;
  }

  // The first series of a chart has the brand's colour. Another that looks the same gets the blue that it replaced.
  function keepApart(rgb) {
    const own = hue(rgb);
    if (own === null) return;
    for (const [name, other] of [["--series-2", 173], ["--series-3", 35], ["--series-4", 337], ["--series-5", 204], ["--series-6", 263], ["--series-7", 73]]) {
      const apart = Math.abs(own - other);
      if (Math.min(apart, 360 - apart) < 20) root.style.setProperty(name, "light-dark(#4a5fe8, #98a5ff)");
    }
  }

  function brand(hex) {
    if (!/^#[0-9a-f]{6}$/i.test(hex || "")) return;
    const rgb = channels(hex);
    const white = [255, 255, 255];
    const ink = [18, 18, 21];
    keepApart(rgb);
    root.style.setProperty("--brand-fill", hex);
    root.style.setProperty("--brand-ink", contrast(rgb, white) >= 4.5 ? "#ffffff" : "#121215");
    root.style.setProperty("--brand-text-light", readable(rgb, white, [0, 0, 0], 5));
    root.style.setProperty("--brand-text-dark", readable(rgb, ink, white, 6.2));
  }

  brand(root.dataset.brand);
  apply(stored());
  dark.addEventListener("change", () => {
    if (stored() === "system") apply("system");
  });
  window.addEventListener("storage", (event) => {
    if (event.key === "lobby-theme") apply(stored());
  });
  window.lobbyTheme = {
    get choice() {
      return stored();
    },
    set(choice) {
      try {
        if (choice === "system") localStorage.removeItem("lobby-theme");
        else localStorage.setItem("lobby-theme", choice);
      } catch {
        /* the choice then lasts for this page */
      }
      apply(choice);
    },
  };
})();
