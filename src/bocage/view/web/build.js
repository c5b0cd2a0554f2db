// Bundle the page into ../static, with the licences of the packages that are in the bundle.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const STATIC = "../static";

const { metafile } = await build({
  entryPoints: ["src/app.js"], bundle: true, minify: true, format: "esm", target: "es2022", outdir: STATIC,
  legalComments: "none", metafile: true, logLevel: "warning",
});
const packages = new Set();
for (const output of Object.values(metafile.outputs)) {
  for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
    const found = path.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)/);
    if (found && bytesInOutput) packages.add(found[1]);
  }
}
const texts = [...packages].sort().map((name) => {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`, "utf8"));
  const file = readdirSync(folder).find((one) => /^licen[cs]e/i.test(one));
  const text = file && existsSync(`${folder}/${file}`) ? readFileSync(`${folder}/${file}`, "utf8") : `Licence: ${license}\n`;
  return `${name} ${version}\n\n${text}`;
});
writeFileSync(`${STATIC}/licences.txt`, texts.join(`\n${"-".repeat(80)}\n\n`));
