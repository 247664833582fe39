common/device_SRC  := cpu_conv.c cpu_dnnl.c cpu_gate.c cpu_loss.c cpu_map.c cpu_norm.c cpu_pool.c device.c \
                      device_cpu.c device_host.c device_op.c device_ref.c ref_conv.c ref_loss.c \
                      ref_map.c ref_pool.c
common/device_DEPS := common/base
common/device_LIBS := -ldnnl -lm
