common/device_SRC  := device.c device_ref.c device_cpu.c
common/device_DEPS := common/base
common/device_LIBS := -ldnnl
