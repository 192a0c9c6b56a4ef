// One of the builds, which all have the same face.
export * from '../../engine.js';
export { default } from '../../engine.js';
