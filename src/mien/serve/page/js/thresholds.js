/** What is shown of a prediction: from which confidence on a face, and from which probability on an emotion. */

const NOTHING = { confidence: 0, probability: 0 };

/**
 * A prediction as it is shown. A face below the confidence is left out, and is still blurred with those of others;
 * below the probability it is uncertain, whatever the model's own rule. Tables keep the prediction as it was.
 *
 * @param {import("./api.js").Prediction} prediction
 * @param {{confidence: number, probability: number}} thresholds 0..1
 * @returns {import("./api.js").Prediction}
 */
export function applyThresholds(prediction, { confidence, probability } = NOTHING) {
  const confident = (face) => face.confidence === null || face.confidence >= confidence;
  const faces = prediction.faces.filter(confident).map((face) => {
    const unclear = Math.max(...Object.values(face.emotions)) < probability;
    return unclear && !face.uncertain ? { ...face, uncertain: true } : face;
  });
  const left = prediction.faces.filter((face) => !confident(face)).map(({ box }) => box);
  return { ...prediction, faces, unconfirmed: [...prediction.unconfirmed, ...left] };
}
