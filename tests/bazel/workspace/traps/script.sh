#!/bin/sh -e
echo from a script > /scripted
