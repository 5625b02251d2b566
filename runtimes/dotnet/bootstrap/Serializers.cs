using System.Reflection;
using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>The serializer that a function names by <c>LambdaSerializerAttribute</c>.</summary>
internal static class Serializers
{
    private const string Attribute = "Amazon.Lambda.Core.LambdaSerializerAttribute";

    /// <summary>That of the method, else that of its assembly; null where there is none.</summary>
    /// <exception cref="LambdaValidationException">The attribute names no serializer.</exception>
    public static ILambdaSerializer? Find(MethodInfo method, Assembly assembly)
    {
        if ((Named(method.GetCustomAttributes()) ?? Named(assembly.GetCustomAttributes())) is not { } attribute)
            return null;
        var type = attribute.GetType().GetProperty("SerializerType")?.GetValue(attribute) as Type
            ?? throw new LambdaValidationException("the attribute LambdaSerializer names no type");
        if (type.GetConstructor(Type.EmptyTypes) is null)
            throw new LambdaValidationException(
                $"the serializer {type.FullName} has no public constructor without parameters");
        return Activator.CreateInstance(type) as ILambdaSerializer
            ?? throw new LambdaValidationException(
                $"the serializer {type.FullName} does not implement Amazon.Lambda.Core.ILambdaSerializer");
    }

    // By name, and not by the type: a library may have brought a copy of the attribute's class.
    private static Attribute? Named(IEnumerable<Attribute> attributes) =>
        attributes.FirstOrDefault(attribute => attribute.GetType().FullName == Attribute);
}
