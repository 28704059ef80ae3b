// Loaded into Node by quick_start.py, before anything else.
//
// jsii starts Node twice: a launcher, which only relays, and below it the engine, with the launcher's own arguments.
// V8 takes this one at the start of a process only, and NODE_OPTIONS does not let it through; so the launcher passes
// it on. Every other process is left alone.
if (/[\\/]jsii-runtime\.js$/.test(process.argv[1] ?? "")) {
  process.execArgv.push("--single-threaded");
}
