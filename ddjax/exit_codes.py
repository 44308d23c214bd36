"""With which codes the program ends."""

DONE = 0
DEFECT = 1
WRONG_INPUT = 2
INCOMPLETE = 3
SYSTEM = 74
TOLD_TO_STOP = 75
INTERRUPTED = 130
MEANINGS = {
    DONE: "done",
    DEFECT: "a defect of ddjax, with a traceback",
    WRONG_INPUT: "wrong input, found before anything was computed",
    INCOMPLETE: "all is computed, a part of the report is missing: a note says which",
    SYSTEM: "the system refused something, such as a full disk; run again to resume",
    TOLD_TO_STOP: "told to stop by SIGTERM, all is saved; run again to resume",
    INTERRUPTED: "Ctrl-C; run again to resume",
}
