/** The emotions' order and colours. The colours are style.css's; over pictures always those of the dark palette. */

/** Stacked and listed in this order: what is pleasant or calm first. */
export const ORDER = ["happy", "surprise", "neutral", "contempt", "sad", "fear", "disgust", "angry"];

/** Over pictures, whatever the theme; as mien.analyze.drawing has them. */
const OVER_PICTURES = {
  angry: "#FF7A33",
  disgust: "#1FC796",
  fear: "#E391C0",
  happy: "#F0E442",
  sad: "#56A8EA",
  surprise: "#E69F00",
  neutral: "#C8C8C8",
  contempt: "#56E0E9",
};

export function colourOverPicture(emotion) {
  return OVER_PICTURES[emotion] ?? "#FFFFFF";
}

/** The style sheet's colour, for backgrounds of the page. */
export function cssColour(emotion) {
  return emotion in OVER_PICTURES ? `var(--${emotion})` : "var(--other)";
}

/** The names in the order that the page shows them; ones it does not know come last. */
export function ordered(names) {
  const rank = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

/** 0.824 as "82 %". */
export function percent(probability) {
  return `${Math.round(100 * probability)} %`;
}

/** The names by probability, the most probable first. */
export function ranked(emotions) {
  return Object.keys(emotions).sort((a, b) => emotions[b] - emotions[a]);
}
