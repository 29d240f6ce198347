/** Boxes {x, y, width, height}. */

/** The share of two boxes' common area that both cover, 0..1. */
export function iou(a, b) {
  const wide = Math.min(a.x + a.width, b.x + b.width) - Math.max(a.x, b.x);
  const tall = Math.min(a.y + a.height, b.y + b.height) - Math.max(a.y, b.y);
  const shared = Math.max(wide, 0) * Math.max(tall, 0);
  return shared / (a.width * a.height + b.width * b.height - shared);
}
