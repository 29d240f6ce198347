/** The movements of a face in words, see docs/movements.md: right and left are the person's own. */

const STILL_DEGREES = 1; // less than that is not worth a word
const CLOSED = 0.7; // `blink` from which an eye is called closed

/**
 * @param {Object<string, number|null>|null|undefined} movements
 * @returns {string[]} lines of text; none if movements are not measured
 */
export function movementLines(movements) {
  if (movements === undefined) return [];
  if (movements === null) return ["No landmarks: the face is in profile or covered."];
  const { head_yaw, head_pitch, head_roll, gaze_yaw, gaze_pitch, blink_right, blink_left } = movements;
  const turns = [turn(head_yaw, "left", "right"), turn(head_pitch, "down", "up"), turn(head_roll, "tilted right", "tilted left")];
  const looks = gaze_yaw === null ? [] : [turn(gaze_yaw, "left", "right"), turn(gaze_pitch, "down", "up")];
  const eyes = [blink_right, blink_left].map((blink) => (blink >= CLOSED ? "closed" : "open"));
  const lids = eyes[0] === eyes[1] ? eyes[0] : `right ${eyes[0]}, left ${eyes[1]}`;
  return [
    `Head: ${joined(turns, "straight")}`,
    `Gaze: ${gaze_yaw === null ? "eyes closed" : joined(looks, "into the camera")}`,
    `Eyes: ${lids}. Mouth open: ${movements.mouth_open.toFixed(2)}`,
  ];
}

function turn(degrees, positive, negative) {
  const size = Math.abs(degrees);
  return size < STILL_DEGREES ? "" : `${Math.round(size)}° ${degrees > 0 ? positive : negative}`;
}

function joined(parts, otherwise) {
  return parts.filter(Boolean).join(", ") || otherwise;
}
