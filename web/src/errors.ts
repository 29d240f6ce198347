/** The errors of mien, with the names that they have in Python. */

/** What every error of mien is. */
export class MienError extends Error {
  constructor(message: string) {
    super(message);
    this.name = new.target.name;
  }
}
/** A wrong argument. */
export class UsageError extends MienError {}
/** An image that cannot be read. */
export class ImageError extends MienError {}
/** A model that cannot be opened or fails. */
export class ModelError extends MienError {}
/** Neither a shipped name nor the address of a model. */
export class UnknownModel extends ModelError {}
/** A card that is missing, or that describes other weights. */
export class CardError extends ModelError {}

const KINDS: Record<string, new (message: string) => MienError> = {
  UsageError,
  ImageError,
  ModelError,
  UnknownModel,
  CardError,
};

/** An error from the worker, as the class that it was there. */
export function restoreError(name: string, message: string): Error {
  const kind = KINDS[name];
  return kind ? new kind(message) : new MienError(message);
}
