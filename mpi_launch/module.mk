mpi_launch_SRC  := args.c child.c models_speed.c probe.c recipe.c run_config.c run_plan.c run_report.c \
                   stage.c stage_digest.c verb_doctor.c verb_models.c verb_plan.c verb_run.c
mpi_launch_DEPS := teacher labeler student common/train common/nn common/device common/coll shards common/image common/base
mpi_launch_LIBS :=
# Not of the library: a test has a main, and a table of verbs, of its own.
mpi_launch_MAIN_SRC := main.c
ALL_OBJS += $(B)/mpi_launch/main.o
$(B)/preceptor: $(B)/mpi_launch/main.o
