// The portal's behaviour. Every page works without it; with it, it is quick.
import { initCharts } from "./charts.js";
import {
  initBulk,
  initBusy,
  initConfirm,
  initCopy,
  initDialogs,
  initMenus,
  initSidebar,
  initTabs,
  initTheme,
} from "./dialogs.js";
import { initKeys } from "./keys.js";
import { initPalette } from "./palette.js";
import { initTimes } from "./time.js";
import { initToasts } from "./toasts.js";

for (const start of [
  initTheme,
  initSidebar,
  initToasts,
  initDialogs,
  initConfirm,
  initMenus,
  initTabs,
  initCopy,
  initBulk,
  initPalette,
  initKeys,
  initTimes,
  initCharts,
  initBusy,
]) {
  // One part that fails on an odd page must not take the others with it.
  try {
    start();
  } catch (error) {
    console.error(error);
  }
}
