"""Which subjects are trained on, validated on and tested on."""
