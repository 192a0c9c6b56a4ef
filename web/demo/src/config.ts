import type { FarConfig, ModelSpec } from 'nearside';

/** A model of the site's catalogue. */
export type CatalogueModel = Required<ModelSpec>;

/** What the site's operator configured. */
export interface Config {
  models: CatalogueModel[];
  worker: FarConfig | null;
}

/** Reads `nearside.json` beside the page. */
export async function readConfig(): Promise<Config> {
  const url = new URL('nearside.json', document.baseURI);
  let response: Response;
  try {
    response = await fetch(url);
  } catch (error) {
    throw new Error(`The site's configuration ${url.pathname} cannot be read (${String(error)}). Reload when online.`);
  }
  if (!response.ok) {
    throw new Error(`The site's configuration ${url.pathname} is missing (HTTP ${response.status}).`);
  }
  const config = (await response.json()) as Partial<Config>;
  const models = (config.models ?? []).map((model) => ({ ...model, url: new URL(model.url, url).href }));
  return { models, worker: config.worker ?? null };
}
