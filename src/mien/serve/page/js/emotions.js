/** Order and colours of the emotions. The page's colours are in style.css; images always have the dark palette. */

/** The order in charts and lists: pleasant and calm emotions first. */
export const ORDER = ["happy", "surprise", "neutral", "contempt", "sad", "fear", "disgust", "angry"];

/** Over images, in both themes; the colours of mien.inference.annotate. */
const OVER_IMAGES = {
  angry: "#FF7A33",
  disgust: "#1FC796",
  fear: "#E391C0",
  happy: "#F0E442",
  sad: "#56A8EA",
  surprise: "#E69F00",
  neutral: "#C8C8C8",
  contempt: "#56E0E9",
};

export function colourOverImage(emotion) {
  return OVER_IMAGES[emotion] ?? "#FFFFFF";
}

/** The style sheet's colour, for elements of the page. */
export function cssColour(emotion) {
  return emotion in OVER_IMAGES ? `var(--${emotion})` : "var(--other)";
}

/** The names in the page's order; unknown names come last. */
export function ordered(names) {
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

/** 0.824 as "82 %". */
export function percent(probability) {
  return `${Math.round(100 * probability)} %`;
}

/** The names, the most probable first. */
export function ranked(emotions) {
  return Object.keys(emotions).sort((a, b) => emotions[b] - emotions[a]);
}
