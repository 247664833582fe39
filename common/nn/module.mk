common/nn_SRC  := graph.c net.c net_backward.c net_forward.c net_lanes.c net_quant.c net_run.c net_stage.c \
                  nn_family.c params.c quant.c
common/nn_DEPS := common/device common/coll common/base
common/nn_LIBS := -lm
