common/base_SRC  := arena.c clock.c err.c fs.c hash.c json.c log.c mem.c metrics.c nearest.c opt.c opt_help.c \
                    opt_value.c progress.c rng.c trace.c verb.c watch.c yaml.c
common/base_DEPS :=
common/base_LIBS := -lyaml -ljansson -lcrypto -lz -lm
