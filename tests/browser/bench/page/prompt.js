// Some 220 words, so that with the chat template's own tokens a prompt has 256.
const TEXT = `The bakery on the corner opens at five, but its day begins the evening before. Flour is weighed into wooden troughs, water is brought to the warmth of a hand, and a piece of yesterday's dough is folded in, because bread remembers. Through the night the dough does most of the work by itself. It swells against its cloth, sinks a little, and swells again, and nobody may hurry it. At three the baker comes back, reads the dough as one reads a face, and decides what the thermometer cannot tell her: whether the morning will be dry, whether the loaves want ten minutes more, whether the oven is in a good mood. The apprentice writes everything down. He has columns for flour, for salt, for weather, and a wide one for remarks, which he fills with questions. Why was Tuesday's crust so dark? The baker answers some of them and smiles at the others. After a year he notices that the column of questions has become narrower, and that he has begun to smile too. Explain in plain words what he has learned, and why it could not have been written down for him on the first day.`;

/** A conversation that shares as little as possible with that of another round. */
export function messages(round) {
  return [
    { role: 'system', content: `Round ${round}: answer at length.` },
    { role: 'user', content: TEXT },
  ];
}

/** Tokens that are written in each round. */
export const WRITTEN = 64;
