"""What runs under the method: devices, several processes, random streams, command lines, errors. It knows no images."""
