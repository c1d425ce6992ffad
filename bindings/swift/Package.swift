// swift-tools-version: 5.9
import PackageDescription

// Sources/KwaaiNetNative and Sources/CKwaaiNet are generated from the library: make package-swift.
let package = Package(
    name: "KwaaiNet",
    platforms: [.macOS(.v13), .iOS(.v16)],
    products: [.library(name: "KwaaiNet", targets: ["KwaaiNet"])],
    targets: [
        .target(name: "CKwaaiNet", linkerSettings: [.linkedLibrary("kwaai_ffi")]),
        .target(name: "KwaaiNetNative", dependencies: ["CKwaaiNet"]),
        .target(name: "KwaaiNet", dependencies: ["KwaaiNetNative"]),
    ]
)
