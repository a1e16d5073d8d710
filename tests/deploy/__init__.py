"""The image, really built, run and called from outside: `make test-deploy`.

Every test here has the marker ``deploy`` and needs a container engine; deploy/scripts/test-deploy.sh provides it.
"""
