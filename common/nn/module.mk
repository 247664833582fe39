common/nn_SRC  := family.c graph.c net.c net_build.c params.c
common/nn_DEPS := common/device common/coll common/base
common/nn_LIBS :=
