// Writes the programs of docs/clients/typescript.md beside this file, so that they are compiled in strict mode.

import { readFileSync, writeFileSync } from "node:fs";

const text = readFileSync(process.env.SEALWARD_DOC, "utf8");
const blocks = [...text.matchAll(/^```js( \w+)?\n(.*?)^```$/gms)].map(([, , code]) => code);
for (const [index, code] of blocks.entries()) {
  const program = code.includes("import { connect") ? code : `${blocks[0]}\n${code}`;
  // The page's own function.
  const declared = program.includes("sessionToken") ? "declare function sessionToken(): string;\n" : "";
  writeFileSync(new URL(`document-${index}.mts`, import.meta.url), `${declared}${program}`);
}
