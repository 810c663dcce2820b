"""Admin commands: /rushes-admin; also /rushes settings and quota, which share their code."""
