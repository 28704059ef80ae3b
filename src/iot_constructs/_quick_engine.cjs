// Loaded into Node by quick_start.py, before anything else.
//
// jsii starts Node twice: a launcher, which only relays, and below it the engine, with the launcher's own arguments.
// Every other process is left alone.
const program = (process.argv[1] ?? "").replaceAll("\\", "/");
if (program.endsWith("/bin/jsii-runtime.js")) {
  // V8 takes these at the start of a process only, and NODE_OPTIONS does not let them through.
  process.execArgv.push("--single-threaded-gc", "--min-semi-space-size=64", "--max-semi-space-size=64");
} else if (program.endsWith("/lib/program.js") && process.env.CDK_VALIDATION !== "false") {
  startValidatorEarly();
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
