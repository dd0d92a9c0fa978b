"""What the method stands on: disk, memory, compiler, command line, transformers. Plain tensors and names.

Each imports only from those above it:

    progress.py               a bar where one can move, a line when long work is done
    files.py                  files and folders put in place whole or not at all
    downloads.py              files that should be something else: Git LFS pointers, web pages
    imports.py                a saved folder that says what to import to load it
    locks.py                  one process at a time in a folder
    memory.py                 freed memory kept for the next step
    threads.py                a fixed number of CPU threads
    precision.py              bfloat16 where the device has it
    compiling.py              functions over tiles, compiled where a compiler is
    cpu_kernel.py             the expected likelihood on a CPU, in C++ that is compiled when it is needed
    kernels.py                the expected likelihood in compiled tiles, forward and backward
    packaged.py               vision models that come with the package
    backbones.py              what we need to know of a transformers backbone
    published_checkpoint.py   the published .pt -> settings and weights under our names
    config_files.py           YAML and JSON -> names with values, and back
    flags.py                  frozen dataclasses -> command-line flags, and back
    foreseen.py               commands end in one line, whatever the error
    auto_classes.py           transformers' Auto classes know ours from `import medprobclip` on
"""
