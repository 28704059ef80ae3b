// Loaded into Node by quick_start.py, before anything else.
//
// jsii starts Node twice: a launcher, which only relays, and below it the engine, with the launcher's own arguments.
// Every other process is left alone.
const IN_A_PACKAGE =
  /^(.*?[\\/]jsii-kernel-[^\\/]+)[\\/](node_modules[\\/](?:@[^\\/]+[\\/])?[^\\/]+)([\\/].+)$/;
const program = (process.argv[1] ?? "").replaceAll("\\", "/");
if (program.endsWith("/bin/jsii-runtime.js")) {
  // V8 takes these at the start of a process only, and NODE_OPTIONS does not let them through.
  process.execArgv.push("--single-threaded-gc", "--min-semi-space-size=64", "--max-semi-space-size=64");
} else if (program.endsWith("/lib/program.js")) {
  keepWhatIsCompiled();
  if (process.env.CDK_VALIDATION !== "false") startValidatorEarly();
}

// Node keeps what it has compiled under the file's name, and jsii's names are new each time: every process has its own
// folder of links to the packages. So a file is compiled under the name of a link that stays. It has node_modules in it,
// by which CDK tells its own frames from the user's. `require` goes by jsii's link as before. Where jsii makes no
// links, or ours cannot be made, nothing is kept: it would never be found again.
function keepWhatIsCompiled() {
  const Module = require("node:module");
  const { _compile } = Module.prototype;
  if (!Module.enableCompileCache || !_compile) return; // Node before 22.1
  const names = new Map();
  Module.prototype._compile = function (content, filename, ...more) {
    const [, kernel, name, inside] = IN_A_PACKAGE.exec(filename) ?? [];
    if (name === undefined) return _compile.call(this, content, filename, ...more);
    if (!names.has(name)) names.set(name, lastingName(kernel, name, Module));
    return _compile.call(this, content, names.get(name) + inside, ...more);
  };
}

function lastingName(kernel, name, { enableCompileCache }) {
  const { lstatSync, mkdirSync, realpathSync, symlinkSync } = require("node:fs");
  const { dirname, join, resolve } = require("node:path");
  const given = join(kernel, name);
  if (!lstatSync(given).isSymbolicLink()) return given;
  const target = realpathSync(given);
  const hash = require("node:crypto").createHash("sha256").update(target).digest("hex");
  let cache, link;
  try {
    cache = resolve(process.env.XDG_CACHE_HOME || join(require("node:os").homedir(), ".cache"), "iot-constructs");
    link = join(cache, "packages", hash.slice(0, 16), name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(target, link, "junction");
  } catch (error) {
    if (error.code !== "EEXIST") return given; // no home, or one that is not to be written to
  }
  enableCompileCache(join(cache, "node"));
  return link;
}

// CDK makes its validator when it is through with everything else. The engine has nothing to do while Python imports
// the modules of aws-cdk-lib, and makes it then. An aws-cdk-lib where it is called otherwise makes it as always.
function startValidatorEarly() {
  const found = Object.keys(require.cache).find((file) => /[\\/]aws-cdk-lib[\\/]index\.js$/.test(file));
  if (found === undefined) {
    setImmediate(startValidatorEarly).unref(); // once for each request of Python's
    return;
  }
  try {
    const core = require("node:path").join(found, "..", "core", "lib", "validation");
    require(`${core}/cloudformation-validate-plugin.js`).CloudFormationValidatePlugin._singletonInstance();
  } catch {
    // CDK makes it itself, and says what is wrong.
  }
}
