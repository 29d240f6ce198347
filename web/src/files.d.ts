/** Files of NumPy, as bytes. */
declare module "*.npy" {
  const bytes: Uint8Array;
  export default bytes;
}

/** Shapes in the format OBJ, as text. */
declare module "*.obj" {
  const text: string;
  export default text;
}
