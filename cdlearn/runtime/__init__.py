"""What runs under the method, whatever the images: devices, processes, random streams, command lines, errors."""
