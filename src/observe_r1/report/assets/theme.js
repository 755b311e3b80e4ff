// Light, dark, or as the system has it. Kept where the browser allows a file to keep anything.

const THEMES = ["auto", "light", "dark"];
const themeListeners = [];

function readTheme() {
  try {
    const kept = localStorage.getItem("observe-r1-theme");
    return THEMES.includes(kept) ? kept : "auto";
  } catch (error) {
    return "auto"; // storage is closed to this page
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("observe-r1-theme", theme);
  } catch (error) {
    // storage is closed to this page: the choice lasts until it is closed
  }
  themeListeners.forEach((listener) => listener());
}

function themeButton() {
  const words = { auto: "Theme: auto", light: "Theme: light", dark: "Theme: dark" };
  const button = el("button", { type: "button", class: "quiet" }, words[readTheme()]);
  button.addEventListener("click", () => {
    const next = THEMES[(THEMES.indexOf(readTheme()) + 1) % THEMES.length];
    setTheme(next);
    button.textContent = words[next];
  });
  return button;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  themeListeners.forEach((listener) => listener());
});
